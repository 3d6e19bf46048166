"""The admin port: REST under `/api/v1`, live events, metrics, and an OpenAPI document of all of it."""
