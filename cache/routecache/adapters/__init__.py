"""routecache in other people's routers: FastAPI gateways and LiteLLM's Router."""
