//! Documents like those of JSON: built from objects, arrays, strings and
//! numbers, written out to a growing text, and freed. A few stay a while.

use super::kit::{Block, List, Random, Table, crew};

const DOCUMENTS: usize = 8;
const DEPTH: usize = 5;

/// A value, with what it owns on the heap.
enum Value {
    Number(u64),
    Text(Block),
    Array(List<Value>),
    Object(List<Member>),
}

struct Member {
    name: Block,
    value: Value,
}

/// `scale` documents in each thread.
pub fn run(threads: usize, scale: u32) -> u64 {
    crew(threads, |index| {
        let mut random = Random::new(index);
        let mut documents = Table::new(DOCUMENTS, |_| None);
        let mut sum = 0u64;
        for round in 0..scale as usize {
            let document = value(&mut random, DEPTH);
            let mut text = List::new();
            write(&document, &mut text);
            sum = sum.wrapping_add(text.iter().map(|byte| u64::from(*byte)).sum());
            text.free();
            if let Some(old) = documents[round % DOCUMENTS].replace(document) {
                sum = sum.wrapping_add(free(old));
            }
        }
        for document in documents.iter_mut().filter_map(Option::take) {
            sum = sum.wrapping_add(free(document));
        }
        sum
    })
}

fn text(random: &mut Random, longest: usize) -> Block {
    let letter = b'a' + random.below(26) as u8;
    Block::filled(
        random.skewed(2, longest),
        u64::from(letter) << 56 | u64::from(letter),
    )
}

/// A random value; the outer levels are always arrays and objects.
fn value(random: &mut Random, depth: usize) -> Value {
    if depth == 0 || (depth < DEPTH - 1 && random.chance(25)) {
        return if random.chance(60) {
            Value::Text(text(random, 200))
        } else {
            Value::Number(random.bits() >> random.below(64))
        };
    }
    let length = random.between(2, 9);
    if random.chance(40) {
        let mut values = List::new();
        for _ in 0..length {
            values.push(value(random, depth - 1));
        }
        Value::Array(values)
    } else {
        let mut members = List::new();
        for _ in 0..length {
            let name = text(random, 24);
            let value = value(random, depth - 1);
            members.push(Member { name, value });
        }
        Value::Object(members)
    }
}

fn write(value: &Value, text: &mut List<u8>) {
    match value {
        Value::Number(number) => {
            let mut rest = *number;
            while rest > 0 {
                text.push(b'0' + (rest % 10) as u8);
                rest /= 10;
            }
        }
        Value::Text(block) => quote(block, text),
        Value::Array(values) => {
            text.push(b'[');
            for value in values.iter() {
                write(value, text);
                text.push(b',');
            }
            text.push(b']');
        }
        Value::Object(members) => {
            text.push(b'{');
            for member in members.iter() {
                quote(&member.name, text);
                text.push(b':');
                write(&member.value, text);
                text.push(b',');
            }
            text.push(b'}');
        }
    }
}

fn quote(block: &Block, text: &mut List<u8>) {
    text.push(b'"');
    for byte in block.as_bytes() {
        text.push(*byte);
    }
    text.push(b'"');
}

fn free(value: Value) -> u64 {
    let mut sum = 0u64;
    match value {
        Value::Number(number) => sum = number,
        Value::Text(block) => sum = block.free(),
        Value::Array(mut values) => {
            while let Some(value) = values.pop() {
                sum = sum.wrapping_add(free(value));
            }
            values.free();
        }
        Value::Object(mut members) => {
            while let Some(member) = members.pop() {
                sum = sum.wrapping_add(member.name.free());
                sum = sum.wrapping_add(free(member.value));
            }
            members.free();
        }
    }
    sum
}
