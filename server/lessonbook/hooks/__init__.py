"""What clients run at their events: lessons for a prompt and for an edit, and what a session leaves behind.

A client waits for each of these processes, so this room imports little, and asks a running server where there is one.
A hook never stands in a client's way: it prints what its contract allows or nothing, and always ends with code 0.
"""
