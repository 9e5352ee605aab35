// Owns a small labelled set: lines as they stand in mail, tickets and logs, with what each detector should find.
// Every person, number and address is invented.

export interface Labelled {
  readonly text: string
  readonly finds: readonly string[]
}

const line = (text: string, ...finds: string[]): Labelled => ({ text, finds })

export const LABELLED: Readonly<Record<string, readonly Labelled[]>> = {
  email: [
    line('Write to ana.ruiz@example.org today.', 'ana.ruiz@example.org'),
    line('From: "Bob" <bob+lists@mail.example.co.uk>', 'bob+lists@mail.example.co.uk'),
    line(
      "o'neil@example.org, x_y-z@sub-domain.example.com;",
      "o'neil@example.org",
      'x_y-z@sub-domain.example.com',
    ),
    line(
      'Grüße an jürgen@bücher.example und 用户@例子.公司',
      'jürgen@bücher.example',
      '用户@例子.公司',
    ),
    line('see mailto:eve@example.org?subject=x', 'eve@example.org'),
    line('https://h.example/u?next=1&to=dee%40example.org&x=1', 'to=dee%40example.org'),
    line('"john doe"@example.org wrote', '"john doe"@example.org'),
    line('root@[192.0.2.7] bounced', 'root@[192.0.2.7]'),
    line('a@xn--bcher-kva.xn--p1ai', 'a@xn--bcher-kva.xn--p1ai'),
    line('(cyd@example.org)', 'cyd@example.org'),
    line('bounce-ana=example.org@lists.example.net', 'bounce-ana=example.org@lists.example.net'),
    line('CARL@EXAMPLE.ORG.', 'CARL@EXAMPLE.ORG'),
    line('meet @ 5pm, ping @dora, cost 3@2.50'),
    line('user@localhost and a@b'),
    line('git@: and @@@@ and foo@-'),
  ],
  phone: [
    line('Call +1 (555) 010-4477 now', '+1 (555) 010-4477'),
    line('+49 30 901820, +442079460958', '+49 30 901820', '+442079460958'),
    line('Tel: 5550104477', '5550104477'),
    line('555-010-4477 or (555) 010-4477', '555-010-4477', '(555) 010-4477'),
    line('555.010.4477 x123', '555.010.4477 x123'),
    line('Büro 030/9018 2000', '030/9018 2000'),
    line('01 23 45 67 89 (Paris)', '01 23 45 67 89'),
    line('mobile 0170 1234567', '0170 1234567'),
    line('call 555-0104', '555-0104'),
    line('0049 170 1234567', '0049 170 1234567'),
    line('Madrid 612 345 678', '612 345 678'),
    line('+49 (0) 30 901820', '+49 (0) 30 901820'),
    line('１-555-010-4477', '１-555-010-4477'),
    line('1-800-555-0199', '1-800-555-0199'),
    line('in 1999, 2024-01-15, 15.01.2024, 1990-1995'),
    line('order 1234567890, id 84729104827'),
    line('10.20.30.40 and 192.168.100.200'),
    line('550e8400-e29b-41d4-a716-446655440000'),
    line('12:30:45, 1 234 567 items, 3.14159265'),
    line('ISO-8859-1, RFC-2822, ABC-555-010-4477'),
    line('$1000-2000 and 100-200'),
  ],
  card: [
    line('4111 1111 1111 1111', '4111 1111 1111 1111'),
    line('card=5500005555555559;', '5500005555555559'),
    line('amex 3782-822463-10005', '3782-822463-10005'),
    line('6011.1111.1111.1117', '6011.1111.1111.1117'),
    line('4222222222222', '4222222222222'),
    line('4111 1111 1111 1112'),
    line('0000 0000 0000 0000'),
    line('1700000000007, 20240115123045'),
    line('id 12345678901234567890123'),
  ],
  iban: [
    line('DE89 3704 0044 0532 0130 00 please', 'DE89 3704 0044 0532 0130 00'),
    line('gb82west12345698765432', 'gb82west12345698765432'),
    line('NL91ABNA0417164300, thanks', 'NL91ABNA0417164300'),
    line('FR14-2004-1010-0505-0001-3M02-606', 'FR14-2004-1010-0505-0001-3M02-606'),
    line('NO93 8601 1117 947', 'NO93 8601 1117 947'),
    line('DE89 3704 0044 0532 0130 01'),
    line('AB12 and EU28 2024'),
  ],
  ssn: [
    line('SSN 900-55-4001.', '900-55-4001'),
    line('078 05 1120', '078 05 1120'),
    line('219–09–9999', '219–09–9999'),
    line('000-12-3456, 666-12-3456, 123-00-4567, 123-45-0000'),
    line('1123-45-67890 and 2024-01-1504'),
    line('123-45 6789'),
  ],
}
