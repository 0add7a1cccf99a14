"""The command line: a table of commands, one parser made from it, and a file of handlers per subject.

Rules of this room:

1. stdout is data, stderr is progress. Nothing else is ever printed to stdout.
2. `table.py` is the one list of commands and options; parser, help and suggestions come from it. It imports
   nothing, and only the handler of the command that was asked for is imported.
3. Commands go through `app`: no file here knows the engine, the store or an executor.
4. Text that came from outside is shown with its control characters visible (`words.visible`).
"""
