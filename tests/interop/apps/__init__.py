"""Four calendar apps as their servers see them: the requests that they send, in their order, with their headers.

Each module has the name of its app and says where its facts come from. All of them share `app.App`: what an app keeps
between requests, and what its user does with a meeting. Nothing of this is taken from an app's code.
"""
