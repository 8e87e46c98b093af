// Command model-registry is Kubeflow Model Registry's own server.
package main

import "github.com/kubeflow/hub/cmd"

func main() {
	cmd.Execute()
}
