// Command mqt is a toolkit for MQTT: publish, subscribe, load-test and serve.
package main

func main() {}
