package store

import "os"

// WithHooks lets a test open the files, and look at the database whenever it is durable; there is no journal then.
func (o Options) WithHooks(open func(string, int, os.FileMode) (*os.File, error), committed func()) Options {
	o.openFile, o.committed, o.direct = open, committed, committed != nil
	return o
}

// CheckWith is Check where a test opens what may have to be written to.
func CheckWith(dir string, open func(string, int, os.FileMode) (*os.File, error)) (*Summary, error) {
	return check(dir, open)
}

// Known reports whether the store knows where it has a message.
func Known(m *Message) bool { return m.id.Load() != 0 }

// WithMoves lets a test look at the files whenever the database has got something.
func (o Options) WithMoves(committed func()) Options {
	o.committed = committed
	return o
}
