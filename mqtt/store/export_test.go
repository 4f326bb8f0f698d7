package store

import "os"

// WithHooks lets a test open the file, and look at it whenever it is durable.
func (o Options) WithHooks(open func(string, int, os.FileMode) (*os.File, error), committed func()) Options {
	o.openFile, o.committed = open, committed
	return o
}
