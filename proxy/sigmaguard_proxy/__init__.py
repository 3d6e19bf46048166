"""The server: sockets, clock, database and event loop live here and nowhere else."""
