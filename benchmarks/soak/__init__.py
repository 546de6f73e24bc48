"""Hours of use in minutes: random programs on every lane, while memory, tasks, threads and files are watched."""
