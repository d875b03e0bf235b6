// new and delete that do not belong together: `hardened_delete KIND`, under a
// hardened build.

#include "check.h"
#include <cstdint>
#include <string>

struct Base {
    char name[8];
};

struct Derived : Base {
    char more[200];
};

// An array of these has its length before its first element.
struct Counted {
    std::string text;
};

static void told(void *block) {
    say("%p\n", block);
}

// Without a virtual destructor the size that is said is the base's.
static void through_a_base(void) {
    Base *object = new Derived;
    told(object);
    HIDE(object);
    delete object;
    FAIL("came back from delete");
}

static void as_another_type(void) {
    uint64_t *number = new uint64_t(1);
    told(number);
    HIDE(number);
    delete reinterpret_cast<uint8_t *>(number);
    FAIL("came back from delete");
}

// The block starts before the first element.
static void array_by_plain_delete(void) {
    Counted *objects = new Counted[100];
    told(objects);
    HIDE(objects);
    delete objects;
    FAIL("came back from delete");
}

// And before the object there is no length; what is there stands for it.
static void array_of_bytes_by_sized_delete(void) {
    char *bytes = new char[100];
    told(bytes);
    HIDE(bytes);
    delete bytes;
    FAIL("came back from delete");
}

static void of_an_element(void) {
    Derived *objects = new Derived[10];
    told(objects + 3);
    Derived *element = objects + 3;
    HIDE(element);
    delete element;
    FAIL("came back from delete");
}

static void as_it_should_be(void) {
    for (int n = 1; n < 300; n++) {
        delete new Derived;
        delete[] new Counted[n];
        delete[] new char[n];
        std::string text(n, 'x');
        CHECK((text + text).size() == 2 * (size_t)n);
    }
}

MAIN(CASE(through_a_base), CASE(as_another_type), CASE(array_by_plain_delete),
     CASE(array_of_bytes_by_sized_delete), CASE(of_an_element),
     CASE(as_it_should_be))
