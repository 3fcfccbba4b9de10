package main

import (
	"encoding/json"
	"errors"
	"os"
)

// keyFile takes new keys, one as JSON in each line. nil is none.
type keyFile struct{ file *os.File }

// newKeyFile makes the file called name, which must not be there, where steps make keys; ""
// is none. Only its owner may read it.
func newKeyFile(name string, steps []appliedStep) (*keyFile, error) {
	for _, s := range steps {
		if name == "" || !s.newKey() {
			continue
		}
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator names it
		if err != nil {
			return nil, fileError("--keys-to", name, err)
		}
		return &keyFile{f}, nil
	}
	return nil, nil
}

// keep writes a key, and reports whether it is in the file for good.
func (k *keyFile) keep(key *newKeyView) (bool, error) {
	if k == nil || key == nil {
		return false, nil
	}
	line, err := json.Marshal(key)
	if err == nil {
		_, err = k.file.Write(append(line, '\n'))
		err = errors.Join(err, k.file.Sync())
	}
	if err != nil {
		return false, fileError("--keys-to", k.file.Name(), err)
	}
	return true, nil
}

func (k *keyFile) close() error {
	if k == nil {
		return nil
	}
	return k.file.Close()
}
