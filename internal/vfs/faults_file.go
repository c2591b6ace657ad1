package vfs

// faultsFile is a file opened through a Faults.
type faultsFile struct {
	fs    *Faults
	inner File
	name  string
}

func (f *faultsFile) call(kind OpKind, off int64, n int) Call {
	return Call{Kind: kind, Path: f.name, Off: off, Len: n}
}

// ReadAt implements File.
func (f *faultsFile) ReadAt(p []byte, off int64) (int, error) {
	v := f.fs.judge(f.call(OpRead, off, len(p)))
	if v.Injected == nil {
		return f.inner.ReadAt(p, off)
	}
	switch v.Effect {
	case Flip:
		n, err := f.inner.ReadAt(p, off)
		v.flip(p[:n])
		return n, err
	case Short:
		n, err := f.inner.ReadAt(p[:len(p)/2], off)
		if err == nil {
			err = v.err()
		}
		return n, err
	case FailAfter:
		n, err := f.inner.ReadAt(p, off)
		if err == nil {
			err = v.err()
		}
		return n, err
	}
	return 0, v.err()
}

// WriteAt implements File.
func (f *faultsFile) WriteAt(p []byte, off int64) (int, error) {
	v := f.fs.judge(f.call(OpWrite, off, len(p)))
	if v.Injected == nil {
		return f.inner.WriteAt(p, off)
	}
	switch v.Effect {
	case Short:
		p = p[:len(p)/2]
		fallthrough
	case FailAfter:
		n, err := f.inner.WriteAt(p, off)
		if err == nil {
			err = v.err()
		}
		return n, err
	}
	return 0, v.err()
}

// Truncate implements File.
func (f *faultsFile) Truncate(size int64) error {
	return f.fs.do(f.call(OpTruncate, size, 0), func() error { return f.inner.Truncate(size) })
}

// Preallocate implements File.
func (f *faultsFile) Preallocate(off, n int64) error {
	return f.fs.do(f.call(OpPreallocate, off, 0), func() error { return f.inner.Preallocate(off, n) })
}

// Sync implements File.
func (f *faultsFile) Sync() error {
	v := f.fs.judge(f.call(OpSync, 0, 0))
	switch {
	case v.Injected == nil:
		return f.inner.Sync()
	case v.Effect == FailAfter:
		if err := f.inner.Sync(); err != nil {
			return err
		}
	case v.Effect != Gone:
		f.failSync(v.Effect == Drop)
	}
	return v.err()
}

// failSync tells a Mem that a sync has failed.
func (f *faultsFile) failSync(drop bool) {
	if inner, ok := f.inner.(interface{ failSync(drop bool) }); ok {
		inner.failSync(drop)
	}
}

// Size implements File.
func (f *faultsFile) Size() (int64, error) {
	return get(f.fs, f.call(OpSize, 0, 0), f.inner.Size)
}

// FirstHole implements File.
func (f *faultsFile) FirstHole() (int64, error) {
	return get(f.fs, f.call(OpSize, 0, 0), f.inner.FirstHole)
}

// Map implements File.
func (f *faultsFile) Map(size int64, mode OpenMode) (Mapped, error) {
	m, err := open(f.fs, f.call(OpMap, size, 0), func() (Mapped, error) { return f.inner.Map(size, mode) })
	if err != nil {
		return nil, err
	}
	return &faultsMapped{fs: f.fs, inner: m, name: f.name}, nil
}

// Close implements File.
func (f *faultsFile) Close() error { return f.fs.do(f.call(OpClose, 0, 0), f.inner.Close) }

// faultsMapped is a mapping made through a Faults.
type faultsMapped struct {
	fs    *Faults
	inner Mapped
	name  string
}

// Load implements Mapped. An injected error looks like a fault of the mapping.
func (m *faultsMapped) Load(p []byte, off int64) error {
	v := m.fs.judge(Call{Kind: OpLoad, Path: m.name, Off: off, Len: len(p)})
	if v.Injected != nil && v.Effect != FailAfter && v.Effect != Flip {
		return v.fault()
	}
	if err := m.inner.Load(p, off); err != nil || v.Injected == nil {
		return err
	}
	if v.Effect == Flip {
		v.flip(p)
		return nil
	}
	return v.fault()
}

// Store implements Mapped.
func (m *faultsMapped) Store(off int64, p []byte) error {
	v := m.fs.judge(Call{Kind: OpStore, Path: m.name, Off: off, Len: len(p)})
	if v.Injected == nil {
		return m.inner.Store(off, p)
	}
	switch v.Effect {
	case Short:
		p = p[:len(p)/2]
		fallthrough
	case FailAfter:
		if err := m.inner.Store(off, p); err != nil {
			return err
		}
	}
	return v.fault()
}

// Close implements Mapped.
func (m *faultsMapped) Close() error {
	return m.fs.do(Call{Kind: OpClose, Path: m.name}, m.inner.Close)
}

// faultError is an injected error of a Load or a Store: those know of ErrFault only.
type faultError struct{ error }

func (e faultError) Unwrap() error        { return e.error }
func (e faultError) Is(target error) bool { return target == ErrFault }

func (v verdict) fault() error { return faultError{v.err()} }
