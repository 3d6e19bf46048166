"""Where state is kept: one database, SQLite or PostgreSQL, reached through one narrow face."""
