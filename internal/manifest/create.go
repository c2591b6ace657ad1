package manifest

import "fmt"

// CreateWith makes the manifest of a store that begins with state and version, whose tables
// are in o.Dir already, synced, and makes it durable. State names the store; tables are
// numbered below its NextFileNum. Until it has returned without error the directory holds
// no store that opens, or the whole one.
func CreateWith(state *State, version *Version, o LogOptions) error {
	if err := version.CheckInvariants(); err != nil {
		return err
	}
	l := &Log{o: o, state: state, version: version}
	if err := l.roll(state, version); err != nil {
		return err
	}
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("manifest: close %s: %w", l.Name(), err)
	}
	_, err := Load(o.FS, o.Dir, o.OpenCipher)
	return err
}
