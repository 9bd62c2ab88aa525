package com.thenextapps.kconsumer;

import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;

import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.json.JsonWriter;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.stereotype.Component;

/** Processes records. Three threads call it, each for partitions of its own. */
@Component
class Processor {
    private static final JsonWriter<Map<String, Object>> JSON = JsonWriter.standard();

    private final Duration work;
    private final boolean logRecords;

    Processor(@Value("${kconsumer.work}") Duration work, @Value("${kconsumer.log-records}") boolean logRecords) {
        this.work = work;
        this.logRecords = logRecords;
    }

    /** The offset is committed only after this returns. */
    @KafkaListener(topics = "#{'${kafka.topics}'.split('\\s*,\\s*')}")
    void process(ConsumerRecord<String, String> record) throws InterruptedException {
        Thread.sleep(work.toMillis()); // Put your own work here.
        if (logRecords) {
            System.out.println(JSON.writeToString(line(record)));
        }
    }

    /** One line for each processed record, as the Rust example writes it. */
    private static Map<String, Object> line(ConsumerRecord<String, String> record) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("offset", record.offset());
        line.put("partition", record.partition());
        line.put("time", System.currentTimeMillis());
        line.put("topic", record.topic());
        // kproducer pads its values with blanks.
        line.put("value", record.value() == null ? "" : record.value().stripTrailing());
        return line;
    }
}
