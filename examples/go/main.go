// Sends a picture file to facestream, as a camera would: go run . BROKERS TOPIC CAMERA FILE
package main

import (
	"context"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	if len(os.Args) != 5 {
		log.Fatal("expected BROKERS TOPIC CAMERA FILE")
	}
	brokers, topic, camera, path := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	picture, err := os.ReadFile(path)
	check(err)
	file, err := os.Stat(path)
	check(err)
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.ProducerBatchMaxBytes(16<<20))
	check(err)
	defer client.Close()

	captured := strconv.FormatInt(file.ModTime().UnixNano(), 10)
	deadline, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	check(client.ProduceSync(deadline, &kgo.Record{
		Topic:   topic,
		Key:     []byte(camera),
		Value:   picture,
		Headers: []kgo.RecordHeader{{Key: "capture_ts_ns", Value: []byte(captured)}},
	}).FirstErr())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
