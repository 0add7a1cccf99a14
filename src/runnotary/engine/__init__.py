"""One loop around the core that turns decisions into committed events and attempts."""
