"""Routes for people: a page is a module here, whose router `web/http_app.py` lists."""
