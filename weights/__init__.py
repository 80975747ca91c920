"""The bundled models and the registry of the published ones; data only."""
