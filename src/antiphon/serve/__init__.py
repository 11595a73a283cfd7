"""A run as a service: HTTP in front of one Recommender, and the page."""
