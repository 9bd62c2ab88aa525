use super::*;

#[test]
fn a_plan_is_printed_as_it_is_written() {
    for text in [
        "1 group",
        "10 groups | create deployments #1 kill after",
        "1 group | patch kconsumergroups/status #2 x3 answer 429 before retry 1",
        "1 group | create services #1 answer 504 after | event services #2 lose",
        "1 group | get /apis/apps/v1 #1 delay 500ms | * * #5 x* reset | list pods #1 replay",
        "1 group | watch pods #1 hold 5000ms | watch pods #2 silence | watch pods #3 x* close 200ms",
        "1 group | update leases #1 stall | list pods #1 truncate | watch pods #1 corrupt",
        "1 group | delete prometheusrules #1 drop before | create events #1 kill before",
        "1 group | event pods #1 repeat | event pods #2 swap | event pods #3 inflate",
        "1 group | watch pods #1 lag 5000ms | list pods #1 trickle 500ms",
        "1 group | patch services #1 kill late 20000ms | patch services #2 term | patch services #3 remove",
    ] {
        assert_eq!(text.parse::<Plan>().unwrap().to_string(), text);
    }
}

#[test]
fn a_mistake_in_a_plan_is_named() {
    for (text, mistake) in [
        ("create services #1 reset", "begins with `1 group`"),
        ("1 group | create services #0 reset", "from #1 on"),
        ("1 group | create services 1 reset", "begins with #"),
        ("1 group | create services #1 explode", "is no fault"),
        ("1 group | create services #1 kill later", "neither before nor after"),
        ("1 group | create services #1 lose", "a fault of events"),
        ("1 group | create", "VERB RESOURCE"),
    ] {
        let error = format!("{:#}", text.parse::<Plan>().unwrap_err());
        assert!(error.contains(mistake), "{error}");
    }
}

#[test]
fn a_rule_meets_the_nth_request_and_those_after_it() {
    let rule: Rule = "create services #2 x3 reset".parse().unwrap();
    let met: Vec<usize> = (1..=6).filter(|number| rule.meets(*number)).collect();
    assert_eq!(met, [2, 3, 4]);
    assert!(rule.is_of("create", "services") && !rule.is_of("create", "pods"));
    let any: Rule = "* * #1 x* reset".parse().unwrap();
    assert!(any.is_of("create", "services") && !any.is_of(EVENT, "services"));
}
