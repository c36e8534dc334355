"""The caches of an LLM router: provider status, model selection, fallback chain, tool name."""
