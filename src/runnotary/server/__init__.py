"""The ASGI server: mounts the doors, tells who asks, turns errors into responses."""
