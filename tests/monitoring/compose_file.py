"""The part of the Compose specification that the stack uses: a key that is not known is an error.

`docker compose config -q` is the real thing; no registry that the tests may ask has it. Source:
https://github.com/compose-spec/compose-spec
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Duration = Annotated[str, StringConstraints(pattern=r"^(\d+h)?(\d+m)?(\d+s)?$", min_length=2)]
Port = Annotated[str, StringConstraints(pattern=r"^([\d.]+:)?\d+:\d+$")]
Volume = Annotated[
    str, StringConstraints(pattern=r"^(\.{1,2}/[\w./-]+|[a-z][a-z-]*):/[\w./-]+(:ro)?$")
]
Tmpfs = Annotated[str, StringConstraints(pattern=r"^/[\w/]+(:\w+=\w+(,\w+=\w+)*)?$")]
Command = Annotated[list[str], Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Healthcheck(_Strict):
    """When a service is healthy."""

    test: Command
    interval: Duration
    timeout: Duration
    retries: int
    start_period: Duration


class Build(_Strict):
    """What an image is built from."""

    context: str
    dockerfile: str


class Awaited(_Strict):
    """What a service waits for."""

    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class Service(_Strict):
    """A service of the stack."""

    image: str
    build: Build | None = None
    user: Annotated[str, StringConstraints(pattern=r"^\d+:\d+$")]
    command: Command | None = None
    environment: dict[str, str] = {}
    env_file: str | None = None
    volumes: list[Volume] = []
    ports: list[Port] = []
    depends_on: dict[str, Awaited] = {}
    healthcheck: Healthcheck
    restart: Literal["no", "always", "on-failure", "unless-stopped"]
    read_only: bool
    cap_drop: list[str]
    security_opt: list[str]
    tmpfs: list[Tmpfs]
    pids_limit: int


class ComposeFile(BaseModel):
    """A stack; `x-` keys are for whoever wrote them."""

    model_config = ConfigDict(extra="allow", strict=True)

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    services: dict[str, Service]
    volumes: dict[str, None]

    @model_validator(mode="after")
    def _names_agree(self) -> "ComposeFile":
        for key in self.model_extra or ():
            if not key.startswith("x-"):
                raise ValueError(f"{key} is not known")
        for name, service in self.services.items():
            for awaited in service.depends_on:
                if awaited not in self.services:
                    raise ValueError(f"{name} waits for {awaited}, which is no service")
            for volume in service.volumes:
                source = volume.split(":")[0]
                if not source.startswith(".") and source not in self.volumes:
                    raise ValueError(f"{name} mounts {source}, which is no volume")
        return self
