"""Checksums of numbers that people are given. Knows digits, no kind of number."""


def passes_luhn(digits: str) -> bool:
    """Whether the last of some decimal digits is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[::-2])) + sum(one // 10 + one % 10 for one in doubled)) % 10 == 0
