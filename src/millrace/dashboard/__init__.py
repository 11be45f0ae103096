"""The dashboard: pages that show an app's jobs, queues, workers and schedules, and act on them. `app.dashboard()`.

Needs `pip install millrace[dashboard]`. An ASGI app, rendered on the server, without inline code and without sources
from elsewhere. All that it knows and does goes through the verbs of the app.
"""

from millrace.dashboard.site import Dashboard

__all__ = ["Dashboard"]
