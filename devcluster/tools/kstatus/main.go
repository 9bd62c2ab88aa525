// kstatus prints how sigs.k8s.io/cli-utils/pkg/kstatus, the library by which Flux and others decide health, judges an
// object: its status (Current, InProgress, Failed, Terminating) and a message in one line. It reads the object as JSON
// from standard input. On an error it prints one line to standard error and exits.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	object := &unstructured.Unstructured{}
	if err := json.NewDecoder(os.Stdin).Decode(object); err != nil {
		return fmt.Errorf("read the object: %w", err)
	}
	result, err := status.Compute(object)
	if err != nil {
		return fmt.Errorf("compute its status: %w", err)
	}
	_, err = fmt.Println(result.Status, result.Message)
	return err
}
