"""The command as a user meets it: real processes in homes of their own."""
