// Package vfs is the engine's only door to the file system.
//
// There are three implementations. OS is production. Mem keeps files in memory, logs
// every mutating operation, and can produce every state that a power cut may leave at
// any point of that log. Faults wraps another FS and makes chosen operations fail.
//
// Mapped files go through the same door: a mapping is reached by Store and Load only,
// so that in memory each Store is a pending write like any other, and so that on the
// OS a fault in the mapping (a device error, a truncated file) is an error of that
// call and never a dead process.
//
// What the interface promises, and what the engine may rely on:
//
//   - F1. WriteAt, Store and Truncate change what every later read sees at once, and
//     nothing about what a power cut leaves, until File.Sync returns nil.
//   - F2. File.Sync makes the file's content and size durable, not its directory
//     entry. After an error of Sync nothing is known about writes since the last
//     successful Sync, and a later success says nothing about them.
//   - F3. Create, Remove, Rename and Link become durable when SyncDir of the
//     directory returns nil, in any order and one without the other until then.
//     Rename replaces its target atomically.
//   - F4. A file opened with DSync makes exactly the bytes of each WriteAt durable
//     before it returns; it says nothing about other bytes of the file. Until it returns
//     the write is one like any other.
//   - F5. Nothing is buffered in the process: what was written survives the process.
//
// A power cut is taken to leave any subset of what F1 to F4 do not make durable, in the
// order in which it was done: Explorer says which states that is. In addition the
// newest write may be there in part, by sectors of 512 bytes or cut at any byte; a file
// may have grown without the new bytes, with anything in their place. Assumed are, as
// in docs/durability.md, that a sector which is not being written keeps its content,
// that a rename never loses both names and replaces its target atomically, and that a
// Sync that returned nil told the truth. A process that is killed leaves everything, and
// what was pending stays so: Mem.Kill ends the process, the next one finds every byte,
// and the power cut after that may still take what the first one never synced.
//
// A history is explored like this:
//
//	m := vfs.NewCrashMem()
//	// run the history on m, and note m.Ops() at each acknowledgement
//	e := m.Explore()
//	for k := range e.Len() + 1 {
//		e.AdvanceTo(k)
//		for state := range e.States(vfs.StateOptions{Random: 4}) {
//			// open state.Mem(), and demand what was acknowledged at or before k
//		}
//	}
//
// Reading order: vfs.go; os.go, os_linux.go, mapped_linux.go, lock_os.go; mem.go,
// mem_file.go, pages.go; mem_log.go, image.go, crash.go, state.go, crash_states.go,
// crash_torn.go; faults.go, faults_fs.go, faults_file.go; private.go.
//
// The package knows nothing of what the engine stores.
package vfs
