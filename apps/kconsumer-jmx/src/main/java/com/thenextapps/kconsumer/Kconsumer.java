package com.thenextapps.kconsumer;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * A Kafka consumer to copy from, without a framework. The operator injects KAFKA_TOPICS, KAFKA_GROUP_ID and
 * KAFKA_BOOTSTRAP_SERVERS.
 */
public final class Kconsumer {
    /** How long one poll waits for records, and so how soon a stop is noticed. */
    private static final Duration POLL = Duration.ofMillis(200);
    /** Less than the pod's terminationGracePeriodSeconds, which is 30 by default. */
    private static final long GRACE_SECONDS = 25;

    private final long workMillis = Long.parseLong(env("KCONSUMER_WORK_MS", "10"));
    private final boolean logRecords = Boolean.parseBoolean(env("KCONSUMER_LOG_RECORDS", "false"));
    private final CountDownLatch ended = new CountDownLatch(1);
    private volatile boolean stopping;

    private Kconsumer() {
    }

    public static void main(String[] args) {
        new Kconsumer().run();
    }

    private void run() {
        Runtime.getRuntime().addShutdownHook(new Thread(this::stop));
        try {
            consume(List.of(env("KAFKA_TOPICS").split("\\s*,\\s*")));
            ended.countDown();
        } catch (Exception failure) {
            failure.printStackTrace();
            ended.countDown();
            System.exit(1);
        }
    }

    /** SIGTERM: the current batch is finished and committed, and the group is left. */
    private void stop() {
        stopping = true;
        try {
            ended.await(GRACE_SECONDS, TimeUnit.SECONDS);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private void consume(List<String> topics) throws InterruptedException {
        // Not closed after a failure, because close() would commit records that were not processed.
        KafkaConsumer<String, String> consumer = new KafkaConsumer<>(config());
        consumer.subscribe(topics);
        while (!stopping) {
            // Commits, now and then, what earlier polls returned; all of that has been processed.
            for (ConsumerRecord<String, String> record : consumer.poll(POLL)) {
                process(record);
            }
        }
        consumer.close();
    }

    private static Map<String, Object> config() {
        return Map.of(
                ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, env("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092"),
                ConsumerConfig.GROUP_ID_CONFIG, env("KAFKA_GROUP_ID"),
                ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, StringDeserializer.class,
                ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, StringDeserializer.class,
                // A new group starts with the oldest record, so that it misses none.
                ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest",
                ConsumerConfig.AUTO_COMMIT_INTERVAL_MS_CONFIG, 1000,
                // What poll() has returned no longer counts as lag, so a small batch keeps the lag true. It is also
                // what is processed again if the process is killed.
                ConsumerConfig.MAX_POLL_RECORDS_CONFIG, 50,
                // New topics and partitions are noticed within this time; the default is 5 minutes.
                ConsumerConfig.METADATA_MAX_AGE_CONFIG, 5000,
                ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG, env("KCONSUMER_SESSION_TIMEOUT_MS", "45000"),
                // Heartbeats tell a member of a rebalance, so this is how fast partitions move; the default is 3 s.
                ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG, 1000);
    }

    private void process(ConsumerRecord<String, String> record) throws InterruptedException {
        Thread.sleep(workMillis); // Put your own work here.
        if (logRecords) {
            // kproducer pads its values with blanks.
            String value = record.value() == null ? "" : record.value().stripTrailing();
            System.out.printf("{\"offset\":%d,\"partition\":%d,\"time\":%d,\"topic\":\"%s\",\"value\":%s}%n",
                    record.offset(), record.partition(), System.currentTimeMillis(), record.topic(), quoted(value));
        }
    }

    /** A JSON string. */
    private static String quoted(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (char letter : text.toCharArray()) {
            if (letter < ' ' || letter == '"' || letter == '\\') {
                quoted.append(String.format("\\u%04x", (int) letter));
            } else {
                quoted.append(letter);
            }
        }
        return quoted.append('"').toString();
    }

    private static String env(String name) {
        String value = System.getenv(name);
        if (value == null || value.isBlank()) {
            throw new IllegalArgumentException("set the environment variable " + name);
        }
        return value.strip();
    }

    private static String env(String name, String otherwise) {
        return System.getenv().getOrDefault(name, otherwise);
    }
}
