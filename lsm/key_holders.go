package lsm

import (
	"crypto/cipher"
	"maps"
	"slices"
	"sync"

	"github.com/loamdb/loam/internal/fileid"
	"github.com/loamdb/loam/internal/seal"
)

// keyHolders are files that need their data keys though the manifest may not list them: those that
// are being written, and those that somebody reads on after an edit has removed them. A file is
// held before nobody else is known to need its key, and until the manifest lists it, it is gone, or
// the last reader has left.
type keyHolders struct {
	mu sync.Mutex
	of map[seal.KeyID]map[string]int // how often a key is held, by name
}

func (h *keyHolders) addLocked(key seal.KeyID, name string) {
	names := h.of[key]
	if names == nil {
		names = map[string]int{}
		if h.of == nil {
			h.of = map[seal.KeyID]map[string]int{}
		}
		h.of[key] = names
	}
	names[name]++
}

func (h *keyHolders) removeLocked(key seal.KeyID, name string) {
	names := h.of[key]
	if names[name]--; names[name] > 0 {
		return
	}
	if delete(names, name); len(names) == 0 {
		delete(h.of, key)
	}
}

// names returns who holds a key, sorted.
func (h *keyHolders) names(key seal.KeyID) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.of[key]))
}

// hold notes that a file of this name needs the key, until release. A file in clear needs none.
func (k *keyring) hold(key seal.KeyID, name string) {
	if k == nil || key == 0 {
		return
	}
	k.holders.mu.Lock()
	defer k.holders.mu.Unlock()
	k.holders.addLocked(key, name)
}

func (k *keyring) release(key seal.KeyID, name string) {
	if k == nil || key == 0 {
		return
	}
	k.holders.mu.Lock()
	defer k.holders.mu.Unlock()
	k.holders.removeLocked(key, name)
}

// outputs are the files that one job writes. They hold their keys until it has ended, when the
// manifest lists them or they are gone. Nil are those of a store in clear.
type outputs struct {
	keyring *keyring
	name    string
	keys    []seal.KeyID // holders.mu
}

// outputs begins a job. Whoever began it calls end.
func (k *keyring) outputs(name string) *outputs {
	if k == nil {
		return nil
	}
	return &outputs{keyring: k, name: name}
}

// newCipher gives the job's files their ciphers, nil in a store that is, or is to be, in clear.
func (o *outputs) newCipher() seal.NewCipher {
	if o == nil || o.keyring.decrypting() {
		return nil
	}
	return o.begin
}

// begin begins a file. The key is given out and held in one: who asks for its holders when it has
// ceased to be the active one misses no file.
func (o *outputs) begin(kind fileid.Kind, uid fileid.UID, salt seal.Salt) (cipher.AEAD, seal.KeyID, error) {
	h := &o.keyring.holders
	h.mu.Lock()
	defer h.mu.Unlock()
	c, key, err := o.keyring.manifestCipher()(kind, uid, salt)
	if err == nil {
		h.addLocked(key, o.name)
		o.keys = append(o.keys, key)
	}
	return c, key, err
}

// end ends the job.
func (o *outputs) end() {
	if o == nil {
		return
	}
	h := &o.keyring.holders
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, key := range o.keys {
		h.removeLocked(key, o.name)
	}
	o.keys = nil
}

// segmentCipher gives the next segment of the log its cipher, nil in a store that is, or is to be, in clear. One is
// prepared at a time, and listed before the next: only the last one is not known to be.
func (k *keyring) segmentCipher() seal.NewCipher {
	if k == nil || k.decrypting() {
		return nil
	}
	return func(kind fileid.Kind, uid fileid.UID, salt seal.Salt) (cipher.AEAD, seal.KeyID, error) {
		k.segment.end()
		return k.segment.begin(kind, uid, salt)
	}
}

// listed notes that the last segment is in the manifest.
func (k *keyring) listed() {
	if k != nil {
		k.segment.end()
	}
}
