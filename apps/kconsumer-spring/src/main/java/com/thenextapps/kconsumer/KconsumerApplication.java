package com.thenextapps.kconsumer;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** A Kafka consumer to copy from. application.yaml configures it, and {@link Processor} does the work. */
@SpringBootApplication
public class KconsumerApplication {
    public static void main(String[] args) {
        SpringApplication.run(KconsumerApplication.class, args);
    }
}
