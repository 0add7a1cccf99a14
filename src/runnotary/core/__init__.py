"""The pure middle: what may happen to a run and what comes next; no input or output, no clock, no chance."""
