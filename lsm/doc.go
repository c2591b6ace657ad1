// Package lsm is the storage engine: an ordered key-value store in a directory, with
// atomic batches, snapshots and iterators, that loses nothing it has acknowledged.
//
//	db, err := lsm.Open(dir, nil)
//	err = db.Set([]byte("k"), []byte("v"), nil) // on the device when it returns
//	v, err := db.Get([]byte("k"))
//
// It must not know what a value means. Keys begin, inside, with the id of a scope; the
// verbs of DB act in the root scope, those of a Scope in one that has a name.
//
// # One write
//
// DB.Set frames the operation into a request (batch_repr.go) and commits it
// (commit.go): the request joins the queue; whoever finds nobody leading leads. The
// leader takes along those that wait, makes sure of room (room.go), gives the sequence
// numbers, and appends to the log (package wal), copying into a mapped segment or, for
// synced commits, writing. It then inserts into the mutable memtable (package
// memtable), hands the lead on, waits for the device if anybody asked, and publishes
// (publish.go): one atomic store of the visible sequence number. A synced writer whom
// nobody else waits behind saves a call of the system by waiting for the device under the
// lead. Before that it may leave unsynced writers their turn (turns.go).
//
// A batch that requires versions (require.go), or a transaction that has read (txn.go,
// readset.go), depends on conditions (conditions.go). Its committer judges them by reading,
// before it joins the queue; the leader drops it if the ring (ring.go) knows of a write since
// then that concerns them (admit.go). Nobody enters anything into the ring while nobody
// judges.
//
// DB.Merge (merge.go, operators.go) writes an operand. Before it joins the queue its writer
// looks whether the key's chain of operands is long, and brings a value for it along
// (merge_chain.go); applying an operand the leader folds it if that is simple. merge_txn.go has the
// operands of transactions.
//
// # One read
//
// DB.Get (get.go) enters the epoch, loads the read state (readstate.go), then the
// visible sequence number, and asks, newest first: the mutable memtable, the frozen
// ones, and each sorted run of tables. In a run it finds the only table that may hold
// the key by its bounds, and there (package sstable) asks the filter, searches the
// pinned index, takes the block from the cache, or reads and verifies it, and searches
// the block. A key whose newest version is an operand is folded
// (merge_read.go, iterator_merge.go). An Iterator (iterator.go) merges the same sources (source.go) and holds a
// reference to the state instead of the epoch. A TxnIterator (txn_iter.go) lays the write
// set of a transaction (writeset.go) over one.
//
// # Scopes
//
// A Scope (scopes.go) is resolved to its id through the directory (directory.go), ordinary
// keys of the system scope, and then reads and writes as DB does. Its writers tell the
// leader what they rely on (scope_commit.go, scope_batch.go), who compares (admit.go). Dropping (scope_drop.go)
// leaves a death record; the reaper (reaper.go, reaper_tables.go, dead.go) has flushes and merges leave out
// what is dead, and forgets it when nothing is left. Transactions over scopes are in
// txn_scopes.go. scope_copy.go, scope_list.go and
// scope_stats.go are what their names say.
//
// # Differences
//
// Snapshot.Diff (diff.go) walks what has changed between a position (position.go,
// history.go) and a snapshot: diff_keys.go within one id, diff_scopes.go over scopes.
// Horizons (horizons.go, horizon_keeper.go, horizon_record.go) say from where on compactions
// keep tombstones.
//
// # Expiry
//
// An entry that expires (ttl.go, ttl_read.go) has its expiry before its value. Time is the
// store's own (clock.go). expirer.go has the space of what has expired given back, and makes
// events of expiries where they are wanted: expiry_index.go, expiry_sweep.go, expiry_events.go.
//
// # Watching
//
// A Watcher (watch.go) is a place in the feed (watch_feed.go), which the publisher fills
// while anybody watches. It walks from there (watch_walk.go), reads the difference when its
// place is gone (watch_catchup.go), and is woken by the dispatcher when something concerns it
// (watch_index.go).
//
// # Background
//
// A full memtable (memtables.go) is frozen by the leader and written out as a sorted run
// by the flusher (flush.go), through compaction.NewFlushWriter. Compactors (compact.go,
// compact_manual.go) ask compaction.Pick or PickManual what to merge, have compaction.Run
// do it, and install the result; where a flush goes, compaction.PlaceFlush says. A table
// that cannot be read is set aside (setaside.go). Every change of the set of tables is one
// edit: logged in the manifest, synced, then swapped in (install.go). The last reader of a
// removed table (table.go) hands it to the deleter (deleter.go), and the log's segments
// are recycled once everything in them is in tables. The syncer (syncer.go) bounds how long
// commits stay unsynced, the settler (settle.go) notices that the store is at rest, the
// scrubber (scrub.go) looks for damage. background.go starts and stops it all.
//
// # Care
//
// DB.Verify (verify.go) checks an open store, Verify (verify_offline.go) one that nobody has
// open, damaged or not. Salvage makes a new store of what is left of a damaged one:
// salvage.go, then the files named after its parts. Metrics (metrics.go) are handed out by
// exposition.go.
//
// # Whole tables
//
// DB.Checkpoint (checkpoint.go) links the tables of one version into a second store;
// DB.Ingest (ingest.go) adds tables that a TableWriter (table_writer.go) has written
// outside. docs/checkpoints.md describes both.
//
// # Large values
//
// Flushes write large values to blob files beside the tables (blobs.go; package compaction
// decides which are given up). docs/blobs.md describes them. verify_blobs.go and
// salvage_blobs.go look after them.
//
// # Encryption
//
// Values of scopes can be sealed under a key of their scope (sealed.go, vault.go), one by one or all of a
// scope (sealed_scope.go), until Shred destroys the key (shred.go), in checkpoints too
// (checkpoint_registry.go). Keys of dropped scopes leave the vault when nobody can want them (vault_forget.go).
//
// An encrypted store (encryption.go) reads its keyring (keyring.go) before anything else, and has
// it give log, manifest, tables and blob files their ciphers. An Anchor (anchor.go) shows whether
// a store was put back. ingest_rewrite.go takes tables in clear in. Data keys leave (rotate.go,
// rotator.go) and are retired when nobody holds them any more (key_holders.go); key_status.go tells
// how far that is. convert.go turns encryption on and off for a store that exists, convert_files.go knows which
// of its files may be in clear meanwhile. docs/security.md describes it.
//
// # Reading order
//
// options.go, errors.go, batch.go, batch_repr.go; db.go, open.go, recovery.go; then the
// files of the tours, snapshot.go and scan.go with the second; key_version.go, entry_info.go,
// conditions.go, require.go, ring.go, writeset.go, readset.go, txn.go, txn_iter.go; at last
// what serves all: poison.go, ioerrors.go, metrics.go. docs/concurrency.md has the lock table.
package lsm
