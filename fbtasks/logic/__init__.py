"""From boxes to alerts: pure decisions, and the Celery tasks around them."""
