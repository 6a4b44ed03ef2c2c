"""Why one spike happened: the steps that led to it, made again and looked into."""
