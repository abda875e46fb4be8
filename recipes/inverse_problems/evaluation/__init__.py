"""What is measured of a posterior."""
