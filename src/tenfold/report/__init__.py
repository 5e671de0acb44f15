"""Tables and plots of what a run folder holds."""
