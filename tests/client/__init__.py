"""The client: its requests, what it does when answers do not come, and the same against a real server."""
