"""Faults that must be survived, and the tests of each. Long forms run by `-m long`.

After each of them: what was acknowledged is stored, once; counters are the sums of their evidence; the audit chain is
valid; the database's own check is clean (`soundness.assert_sound`).

| | fault | tests |
|---|---|---|
| F1 | kill -9 in mid-write | `faults/test_processes` (400 kills: long) |
| F2 | PostgreSQL dies and comes back | `faults/test_database_server` (20 times: long) |
| F3 | a network that delays, cuts, truncates, loses COMMIT or its answer, or falls silent | `faults/test_network` (400
  harms: long), `store/test_silence`, `contract/test_hindered` |
| F4 | a full disk | `faults/test_disk` by system calls that fail (SQLite); `store/test_database_faults` by the error
  that the server reports (PostgreSQL: its log lies on the same disk, and a full one ends the server, which is F2) |
| F5 | a disk that keeps nothing: fsync fails | `faults/test_disk` (SQLite),
  `faults/test_database_server` (PostgreSQL) |
| F6 | a clock that jumps | `faults/test_clock`, `store/test_database_clock`, `store/test_doctor_and_rollups` |
| F7 | a slow database, a lock that is held | `store/test_silence`, `store/test_database_faults`,
  `contract/test_hindered` |
| F8 | more callers than connections, cancelled at any moment | `store/test_cancelled_callers` (200 callers: long),
  `store/test_turns`; times by `python -m bench crowd` |
| F9, F10 | malformed and oversize input | `edges/transport/test_stdio`, `contract/test_wire` |
| F11 | many processes on one file | `faults/test_processes` (64: long), `store/test_writer_queue`; times by
  `python -m bench crowd --processes 64` |
| F12 | the parent dies | `faults/test_parent`, `edges/transport/test_stdio` |
| F13 | migration under load, a server of the release before on the newest schema | `migrations/test_release_before`,
  `migrations/test_migrations` |
| F14 | any order of calls | `services/test_random_walk` |
| F15 | any request to the REST API | `contract/test_api_description` |
| F16 | the same idempotency key at once | `store/test_same_key_once` |
| F17 | ids of another project | `contract/test_walls` |
| F18 | two clients with the same request ids | `contract/test_wire` |
| F20 | a backup taken under load | `store/test_backup` |
"""
