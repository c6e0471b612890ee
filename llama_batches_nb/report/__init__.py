"""Write a report of failure rates, causes and costs as one HTML file."""
