// Package access says who a client is and what it may do: the users with their
// password hashes, and the access control list. It reads files and judges; it
// knows no connection.
//
//	users.go      the password file
//	hash.go       argon2id, bcrypt and mosquitto's two hashes
//	scram.go      verifiers for SCRAM, and the server's side of it
//	decoy.go      what a user looks like who does not exist
//	jwt.go jwk.go JSON Web Tokens, and the keys that they are checked with
//	keyset.go     keys that are fetched, and fetched again
//	acl.go        rules, and what they grant to one client
//	aclfile.go    the access control file
//	mosquitto.go  mosquitto's acl_file
//
// What it returns is immutable and safe for concurrent use: a reload makes
// another.
package access

import "fmt"

// Principal is who a client has proved to be.
type Principal struct {
	// Username is "" for a client that has proved nothing.
	Username string
	// ClientID is what the client calls itself; it proves nothing.
	ClientID string
}

// FileError is a mistake in a file.
type FileError struct {
	File string
	Line int // from 1
	Text string
}

func (e *FileError) Error() string { return fmt.Sprintf("access: %s:%d: %s", e.File, e.Line, e.Text) }
