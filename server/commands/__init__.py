"""The commands of `koyomi`, a module for each area; `server.cli` loads one when it is called."""
