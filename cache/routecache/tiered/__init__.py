"""Two tiers as one: a core that decides without I/O, and one short driver per kind of I/O."""
