"""Companies of one's own: CSV → table → look-ups, and every way to write the CSV wrong."""

from __future__ import annotations

import ipaddress
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from personalizer.cli import cli
from personalizer.config import load_settings
from personalizer.errors import DataError, Problem
from personalizer.model import Range
from personalizer.visitor.company import Companies, open_companies
from personalizer.visitor.company_build import build_company_table, find_changes
from personalizer.visitor.company_table import is_company_table, open_company_table, pack_address

HEADER = "network,domain,name,industry,sic,naics,employees,revenue,country,technologies\n"
LUMEN = (
    "192.0.2.0/28 2001:db8:7::/48,lumen.example,Lumen Kliniken,hospitals,8062,622110,51-200,€1M - €10M,de,"
    '"DATEV; SAP"\n'
)


def write(path: Path, *rows: str, header: str = HEADER) -> Path:
    path.write_text(header + "".join(row if row.endswith("\n") else row + "\n" for row in rows), "utf-8")
    return path


def build(path: Path) -> tuple[Companies | None, list[str]]:
    """The table of a CSV file, opened as the server does, and the mistakes."""
    problems: list[Problem] = []
    table = path.with_suffix(".table")
    built = build_company_table(path, table, problems.append, lambda count: None)
    assert (built.path is None) == bool(problems)
    assert table.exists() == (not problems)
    opened = open_companies(load_settings({"companies": str(table)}, environ={})) if table.exists() else None
    return opened, [str(problem).removeprefix(f"{path}:") for problem in problems]


def build_right(path: Path) -> Companies:
    companies, mistakes = build(path)
    assert mistakes == []
    assert companies is not None
    return companies


def test_a_company_is_found_by_network_and_by_domain(tmp_path: Path) -> None:
    companies = build_right(write(tmp_path / "c.csv", LUMEN))
    facts = companies.find_domain("lumen.example")
    assert facts == {
        "company.domain": "lumen.example",
        "company.name": "Lumen Kliniken",
        "company.industry": "hospitals",
        "company.sic": "8062",
        "company.naics": "622110",
        "company.employees": Range(51, 200),
        "company.revenue": Range(1_000_000, 10_000_000),
        "company.country": "DE",
        "company.technologies": ("DATEV", "SAP"),
    }
    for address in ("192.0.2.0", "192.0.2.15", "2001:db8:7::1", "2001:db8:7:ffff:ffff:ffff:ffff:ffff"):
        assert companies.lookup(address, {}) == facts, address
    for address in ("192.0.1.255", "192.0.2.16", "2001:db8:6::1", "2001:db8:8::", "0.0.0.0", "", "nonsense"):
        assert companies.lookup(address, {}) == {}, address
    assert companies.lookup("192.0.2.1", {"network.kind": "hosting"}) == {}
    assert companies.find_domain("other.example") == {}


def test_columns_may_be_left_out_and_come_in_any_order(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", "Lumen; www.LUMEN.example ;10,001+", header="\ufeffName;Domain;Employees\n")
    assert build_right(path).find_domain("lumen.example") == {
        "company.domain": "lumen.example",
        "company.name": "Lumen",
        "company.employees": Range(10_001, float("inf")),
    }


def test_rows_of_one_domain_are_one_company(tmp_path: Path) -> None:
    rows = [
        "192.0.2.0/28,a.example,Aha,,,,,,,",
        "192.0.2.64-192.0.2.130,a.example,,,,,,,AT,",
        "",
        "198.51.100.9,a.example aha.example,Aha,,,,,,,",
    ]
    companies = build_right(write(tmp_path / "c.csv", *rows))
    aha = {"company.domain": "a.example", "company.name": "Aha", "company.country": "AT"}
    for address in ("192.0.2.1", "192.0.2.64", "192.0.2.130", "198.51.100.9"):
        assert companies.lookup(address, {}) == aha
    assert companies.lookup("192.0.2.131", {}) == companies.lookup("192.0.2.63", {}) == {}
    assert companies.find_domain("aha.example") == companies.find_domain("a.example") == aha


def test_the_narrowest_network_wins(tmp_path: Path) -> None:
    rows = ["10.0.0.0/8,wide.example", "10.0.0.0/24,first.example", "10.255.255.0/24,last.example"]
    companies = build_right(write(tmp_path / "c.csv", *rows, header="network,domain\n"))
    owners = {address: companies.lookup(address, {}).get("company.domain") for address in (
        "9.255.255.255", "10.0.0.0", "10.0.0.255", "10.0.1.0", "10.255.254.255", "10.255.255.0", "11.0.0.0",
    )}  # fmt: skip
    first, last, wide = "first.example", "last.example", "wide.example"
    assert list(owners.values()) == [None, first, first, wide, wide, last, None]


NETWORKS = st.builds(
    lambda bits, prefix: ipaddress.IPv6Network((bits >> (8 - prefix) << (8 - prefix) << 120, prefix)),
    st.integers(0, 255),
    st.integers(0, 8),
)


@given(st.dictionaries(NETWORKS, st.integers(1, 5), max_size=12))
@settings(deadline=None)
def test_changes_of_owner_are_those_of_asking_every_network(owned: dict[ipaddress.IPv6Network, int]) -> None:
    """Over the 256 /8 networks of IPv6: what the walk says, and the narrowest network around each."""
    rows = sorted((network.network_address.packed, network.prefixlen, 0, owner) for network, owner in owned.items())
    changes = list(find_changes(rows))
    assert changes == sorted(changes) and all(a[1] != b[1] for a, b in zip(changes, changes[1:], strict=False))
    for block in range(256):
        address = ipaddress.IPv6Address(block << 120)
        around = [network for network in owned if address in network]
        wanted = owned[max(around, key=lambda network: network.prefixlen)] if around else 0
        told = next((owner for start, owner in reversed(changes) if start <= int(address)), 0)
        assert told == wanted


@pytest.mark.parametrize(
    "row, mistake",
    [
        ("192.0.2.1/24,a.example", "2: network: '192.0.2.1/24' is no network. Such a network begins at 192.0.2.0: "),
        ("192.0.2.0/33,a.example", "2: network: '192.0.2.0/33' is no network. Write 192.0.2.0/24, 2001:db8::/32, one "),
        ("2a00:1::1%eth0,a.example", "2: network: '2a00:1::1%eth0' names a network card of one computer. Leave out % "),
        ("fe80::1%eth0/64,a.example", "2: network: 'fe80::1%eth0/64' names a network card of one computer. "),
        ("10.0.0.9-10.0.0.1,a.example", "2: network: '10.0.0.9-10.0.0.1' is no network. "),
        ("10.0.0.9-2001:db8::,a.example", "2: network: '10.0.0.9-2001:db8::' is no network. "),
        (",https://a.example/x", "2: domain: 'https://a.example/x' is no domain. Write it as lumen.example"),
        ("10.0.0.0/8,", "2: domain: is empty. A company is known by its domain"),
        ("10.0.0.0/8", "2: has 1 cell; the header has 10. Put a cell that contains ',' in double quotes."),
        (",a.example,\u200b", "2: name: has only invisible characters."),
        (",a.example,,,72-1", "2: sic: '72-1' is no SIC code. Write its 2 to 4 digits."),
        (",a.example,,,,31-34", "2: naics: '31-34' is no NAICS code. Write its 2 to 6 digits."),
        (",a.example,,,7300", "2: sic: there is no SIC code '7300'. Did you mean 73?"),
        (",a.example,,,,541111", "2: naics: there is no NAICS code '541111'. Did you mean 54111?"),
        (",a.example,,,,,many", "2: employees: 'many' is no number or band. Write 240, 51-200, "),
        (",a.example,,,,,18446744073709551615", "2: employees: '18446744073709551615' is more than any company has. "),
        (",a.example,,,,,,1-99999999999999999999999", "2: revenue: '1-99999999999999999999999' is more than any "),
        (",a.example,,,,,200-51", "2: employees: '200-51' is no number or band. "),
        (
            ",a.example,,,,,1.200",
            "2: employees: '1.200' may be two numbers: is the separator one of thousands? Write it",
        ),
        (',a.example,,,,,"1,5"', "2: employees: '1,5' may be two numbers: "),
        (",a.example,,,,,1.5", "2: employees: '1.5' is no whole number of people. Write 240, 51-200, or 10,000+."),
        (
            ",a.example,,,,,,$1.200M - $2M",
            "2: revenue: '1.200' may be two numbers: is the separator one of thousands? ",
        ),
        (',a.example,,,,,,"12,00"', "2: revenue: '12,00' may be two numbers: "),
        (",a.example,,,,,,,ZZ", "2: country: 'ZZ' is no country code. "),
        (
            ",a.example,,,,,,,UK",
            "2: country: 'UK' is no country code. Did you mean GB?",
        ),
        (
            "0.0.0.0/0,a.example",
            "2: network: '0.0.0.0/0' is wider than any company's. Write /8 or narrower, in IPv6 /16 ",
        ),
        ("1.0.0.0-200.0.0.0,a.example", "2: network: '1.0.0.0-200.0.0.0' is wider than any"),
        ("::/0,a.example", "2: network: '::/0' is wider than any"),
        ("::ffff:0:0/96,a.example", "2: network: '::ffff:0:0/96' is wider than any"),
        *((f"{network},a.example", f"2: network: {network!r} is no network that visitors come from (") for network in (
            "127.0.0.1", "0.0.0.0", "169.254.3.0/24", "224.0.0.0/8", "255.255.255.255", "::/16", "::1", "fe80::/64",
            "ff02::1", "::ffff:127.0.0.1",
        )),
        (',a.example,"A GmbH', "2: name: the quote that opens here is never closed. Close it in the same line; a cell"),
        (
            ',a.example,"A" GmbH',
            "2: has a cell that goes on after its closing quote. Quote the whole cell, and write a",
        ),
        (",a.example,,,,,,-3", "2: revenue: '-3' is no number or band. "),
        (",a.example,,,,,,,Germany", "2: country: 'Germany' is no country code. Write the ISO 3166 code"),
        (",a.example,,,,,,,," + "x;" * 51, "2: technologies: has 51 names. Keep the 50 that matter."),
    ],
)  # fmt: skip
def test_a_wrong_cell_is_named_with_its_line_and_remedy(tmp_path: Path, row: str, mistake: str) -> None:
    if row != "10.0.0.0/8":
        row += "," * (9 - re.sub('"[^"]*"', "", row).count(","))
    _, mistakes = build(write(tmp_path / "c.csv", row))
    assert len(mistakes) == 1 and mistakes[0].startswith(mistake), mistakes


def test_numbers_codes_and_networks_as_people_write_them(tmp_path: Path) -> None:
    rows = [
        "10.0.0.0/8 192.168.0.0/16 fd00::/16,a.example,,,72,31-33,1200,1200000,xk,",
        '169.0.0.0/8,b.example,,,737,5415,"1,200","$1,200,000.50 - 1.25B",AT,',
        ",c.example,,,,,2.01k,1.2M,,",
        ",d.example,,,,,1\u202f200 - 10'000,0.75\xa0M,,",
    ]
    companies = build_right(write(tmp_path / "c.csv", *rows))
    found = [companies.find_domain(f"{letter}.example") for letter in "abcd"]
    assert [facts["company.employees"] for facts in found] == [Range(1200, 1200)] * 2 + [
        Range(2010, 2010),
        Range(1200, 10_000),
    ]
    assert [facts["company.revenue"] for facts in found] == [
        Range(1_200_000, 1_200_000),
        Range(1_200_000.5, 1_250_000_000),
        Range(1_200_000, 1_200_000),
        Range(750_000, 750_000),
    ]


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    rows = [
        "10.0.0.0/8,a.example,A,,,,,,,",
        "10.0.0.0/8,b.example,,,,,many,,,",
        ",a.example,B,,,,,,,",
        "x,y,,,,,,,Z,",
        ",c.example a.example,C,,,,,,,",
        '198.18.1.1,f.example,a"b,,,,,,,',
        '198.18.1.1,d.example,"D GmbH,,,,,,,',
        "198.18.1.1,e.example,E,,,,,,,",
        ",,,,,,,,,",
        ",,E,,,,many,,,",
    ]
    _, mistakes = build(write(tmp_path / "c.csv", *rows))
    starts = [
        "3: employees: 'many' is no number or band.",
        "4: name: is not what line 2 says of a.example. Write the same, or leave the cell empty.",
        "5: network: 'x' is no network.",
        "5: domain: 'y' is no domain.",
        "5: country: 'Z' is no country code.",
        "6: domain: a.example is already a domain of a.example. Keep it in one of the two rows.",
        "8: name: the quote that opens here is never closed.",
        "11: domain: is empty.",
        "11: employees: 'many' is no number or band.",
        "3: network: 10.0.0.0/8 also belongs to the company of line 2. Keep it in one of the two rows.",
        "9: network: 198.18.1.1/32 also belongs to the company of line 7. Keep it in one of the two rows.",
    ]
    assert len(mistakes) == len(starts)
    assert all(mistake.startswith(start) for mistake, start in zip(mistakes, starts, strict=True)), mistakes


@pytest.mark.parametrize(
    "header, told",
    [
        ("domain,employes,budget", ["1: there is no column 'employes'. Did you mean employees?",
                                    "1: there is no column 'budget'. The first line names the columns: network, ",
                                    "2: domain: 'y' is no domain."]),
        ("domain,name,name", ["1: the column name is there twice. Keep one of them.", "2: domain: 'y' is no domain."]),
        ("domian,name,country", ["1: there is no column 'domian'. Did you mean domain?"]),
        ("network,name,country", ["1: there is no column domain. The first line names the columns: "]),
    ],
)  # fmt: skip
def test_a_wrong_header_does_not_hide_the_rows(tmp_path: Path, header: str, told: list[str]) -> None:
    _, mistakes = build(write(tmp_path / "c.csv", "y,,", header=f"{header}\n"))
    assert len(mistakes) == len(told)
    assert all(mistake.startswith(start) for mistake, start in zip(mistakes, told, strict=True)), mistakes


def test_bytes_that_are_not_utf8_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_bytes(b"domain,name\na.example,M\xc3\xbcnchen\nb.example,M\xfcnchen\n")
    assert build(path)[1] == ["3: name: has bytes that are not UTF-8. Save the file again as CSV (UTF-8)."]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "c.csv is empty, or its first line is. The first line names the columns: network, domain, name, "),
        ("a.example,A,5\n", "c.csv:1: names no column. The first line names the columns: network, domain, "),
        ("PK\x03\x04\0\0", "c.csv is no text in UTF-8. In a spreadsheet, save it as CSV"),
        ("domain,name\n", "has no rows. Write one company a line under the header."),
    ],
)
def test_a_file_that_is_no_such_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message.replace("?", r"\?")):
        build(path)
    assert os.listdir(tmp_path) == ["c.csv"]


def test_progress_is_told_in_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", ",a.example,Bäckerei Süß", ",b.example,บริษัท", header="network,domain,name\n")
    path.write_bytes(path.read_bytes() + b",c.example,\xff\n")
    told: list[int] = []
    build_company_table(path, tmp_path / "c.table", lambda problem: None, told.append)
    assert sum(told) == path.stat().st_size


def test_the_command_writes_all_or_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", LUMEN)
    told = CliRunner().invoke(cli, ["companies", "build", str(path)])
    assert (told.exit_code, told.stderr) == (0, "")
    table = tmp_path / "c.table"
    assert told.output.startswith(f"{table}: 1 companies, 2 networks, 1 domains; ")
    whole = table.read_bytes()
    write(path, LUMEN, "300.0.0.0/8,b.example,,,,,,,,")
    told = CliRunner().invoke(cli, ["companies", "build", str(path)])
    assert told.exit_code == 1
    assert told.stderr.startswith(f"{path}:3: network: '300.0.0.0/8' is no network. ")
    assert told.stderr.endswith(f"1 mistake keeps {table} from being written.\n")
    assert table.read_bytes() == whole
    assert sorted(os.listdir(tmp_path)) == ["c.csv", "c.table"]


def test_out_may_not_be_the_csv_nor_lie_nowhere(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", LUMEN)
    before = path.read_bytes()
    assert CliRunner().invoke(cli, ["companies", "build", str(path), "--out", str(path)]).exit_code == 2
    assert path.read_bytes() == before
    with pytest.raises(DataError, match="cannot be written .* Name another place with --out"):
        build_company_table(path, tmp_path / "no" / "c.table", print, lambda count: None)


def test_a_damaged_table_is_never_opened(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", LUMEN)
    build_right(path)
    table = tmp_path / "c.table"
    whole = table.read_bytes()
    for at in range(len(whole)):
        for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]):
            table.write_bytes(damaged)
            with pytest.raises(DataError, match="^PERSONALIZER_COMPANIES"):
                open_companies(load_settings({"companies": str(table)}, environ={}))
    table.write_bytes(whole + b"x")
    with pytest.raises(DataError, match="its size or checksum is wrong. Build it again"):
        open_companies(load_settings({"companies": str(table)}, environ={}))


def test_a_csv_is_not_served_and_the_start_says_what_to_do(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", LUMEN)
    with pytest.raises(DataError, match=f"^PERSONALIZER_COMPANIES: {path} is a CSV file .*companies build {path}`"):
        open_companies(load_settings({"companies": str(path)}, environ={}))
    path.write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match="cannot be read"):
        open_companies(load_settings({"companies": str(path)}, environ={}))


def test_addresses_are_packed_in_one_order() -> None:
    assert pack_address("192.0.2.1") == pack_address("::ffff:192.0.2.1") == bytes(10) + b"\xff\xff\xc0\x00\x02\x01"
    assert pack_address("fe80::1%eth0") is None


def test_a_bar_is_shown_on_a_terminal_only(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", *(f",company-{number}.example,,,,,,,," for number in range(40_000)))
    command = [sys.executable, "-m", "personalizer", "companies", "build", str(path)]
    ours, theirs = pty.openpty()
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, check=True)
    os.close(theirs)
    assert b"Reading" in os.read(ours, 100_000)
    assert b"40,000 companies" in ran.stdout
    assert subprocess.run(command, capture_output=True, check=True).stderr == b""


PEAK = """
import sys
from personalizer.cli import cli
cli(["companies", "build", sys.argv[1]], standalone_mode=False)
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.slow
def test_memory_is_bounded(tmp_path: Path) -> None:
    """200,000 companies (`make soak`: 1,000,000) within 200 MB; every one of a sample is found both ways."""
    count = 1_000_000 if os.environ.get("PERSONALIZER_SOAK") else 200_000
    path = tmp_path / "c.csv"
    with path.open("w") as file:
        file.write("network,domain,name,employees\n")
        for number in range(count):
            address = ipaddress.IPv4Address(0x01000000 + 16 * (number * 7919 % count))
            file.write(f"{address}/28,company-{number}.example,Company {number},51-200\n")
    ran = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True)
    assert int(ran.stdout.split()[-1]) < 200 * 1024  # KB
    table = path.with_suffix(".table")
    assert is_company_table(table)
    companies = Companies(open_company_table("it", table))
    for number in range(0, count, count // 500):
        address = ipaddress.IPv4Address(0x01000000 + 16 * (number * 7919 % count) + number % 16)
        facts = companies.lookup(str(address), {})
        assert facts == companies.find_domain(f"company-{number}.example") != {}
        assert facts["company.name"] == f"Company {number}"
