"""Pages for people: functions from the documents of a home to HTML. They need no script to work."""
