package cmd

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unicode"
	"unicode/utf8"

	"mqt/format"
)

// saver writes each message into a file of its own. No name leads out of the
// directory, over symbolic links neither.
type saver struct {
	root *os.Root
	json bool // its object too
	seq  uint64
	line []byte // scratch
}

// newSaver makes the directory if it is not there.
func newSaver(dir string, json bool) (*saver, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil { //nolint:gosec // the umask says who reads what was received
		return nil, fmt.Errorf("--save: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("--save: %w", err)
	}
	return &saver{root: root, json: json}, nil
}

func (s *saver) close() { _ = s.root.Close() } // nothing was kept back

// save writes a message. The payload's file is there before the object's.
func (s *saver) save(m *format.Received) error {
	for {
		s.seq++
		name := saveName(m, s.seq)
		err := s.write(name, m.Payload)
		if errors.Is(err, fs.ErrExist) {
			continue // of another run, in the same microsecond
		}
		if err == nil && s.json {
			object := format.JSON{}
			s.line = object.Append(s.line[:0], m)
			err = s.write(name+".json", s.line)
		}
		if err != nil {
			return fmt.Errorf("--save: %w", err)
		}
		return nil
	}
}

// write makes a file that was not there. Half a file does not stay.
func (s *saver) write(name string, content []byte) error {
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		_ = s.root.Remove(name) // the write's error tells more
	}
	return err
}

// Bounds of a name: file systems take 255 bytes, .json included.
const (
	saveTopic = 160 // bytes of the escaped topic
	saveHash  = 8   // bytes of the hash that stands for the rest
)

// saveName is 20261125T184012.123456Z-000001-home+kitchen: when the message
// came, its number in this run, and the topic. It begins with a digit, so that
// it is no option, no hidden file and no device of Windows.
func saveName(m *format.Received, seq uint64) string {
	return fmt.Sprintf("%s-%06d-%s", m.At.UTC().Format("20060102T150405.000000Z"), seq, saveEscape(m.Topic))
}

// saveEscape makes a topic part of a file's name. A slash becomes a plus sign,
// which no topic has; letters, digits, '.', '-' and '_' stay; other bytes become
// %XX, as in a URL. A long one ends with ~ and a hash.
func saveEscape(topic string) string {
	b := make([]byte, 0, min(3*len(topic), saveTopic+utf8.UTFMax))
	for i := 0; i < len(topic); {
		r, n := utf8.DecodeRuneInString(topic[i:])
		switch {
		case r == '/':
			b = append(b, '+')
		case r == '.' && i == len(topic)-1: // Windows would drop it
			b = append(b, "%2E"...)
		case r == '.', r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			b = append(b, topic[i:i+n]...)
		default: // also a byte that is not UTF-8
			for _, c := range []byte(topic[i : i+n]) {
				b = fmt.Appendf(b, "%%%02X", c)
			}
		}
		i += n
		if len(b) > saveTopic {
			sum := sha256.Sum256([]byte(topic))
			b = b[:saveTopic-2*saveHash-1]
			for !utf8.Valid(b) {
				b = b[:len(b)-1]
			}
			return fmt.Sprintf("%s~%x", b, sum[:saveHash])
		}
	}
	return string(b)
}
