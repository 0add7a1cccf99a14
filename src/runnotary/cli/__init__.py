"""The command line: words in, calls to the application, text out."""
