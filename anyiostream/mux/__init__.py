"""The core: routes each part of the graph through the transformers. Imports no event loop.

In this order, each module imports only from those before it:

- `ports`: what the core needs of a lane.
- `stages`: the data of routes. `scope`: one level of the tree.
- `scheduled`: work that transformers schedule. `closing`: ends of subgraphs that wait for it.
- `registrations`: transformers, made or to be made. `hooks`, `ending_hooks`: calling users' hooks, and whom to blame.
- `task_ends`, `run_state`: what the scopes of a run share.
- `raw_log`, `late_observers`, `registry`: the transformers of one scope, and their projections.
- `tree`: the scopes of a run. `following`: `tasks` events into subgraphs.
- `dispatchers`, `dispatch`: a part to the scopes that want it.
- `mux`: joins these for one scope, and ends it.
"""
