"""NanoClaw: a personal assistant that runs on your own machine."""
