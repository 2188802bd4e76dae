use super::*;

const SGML: &str = "OFXHEADER:100\nCHARSET:1252\n\n<OFX><SIGNONMSGSRSV1><SONRS><DTSERVER>00000000<LANGUAGE></SONRS>\
    </SIGNONMSGSRSV1><BANKMSGSRSV1><STMTTRNRS><STMTRS><CURDEF>CAD<BANKACCTFROM><BANKID>1<ACCTID>12 34</BANKACCTFROM>\
    <BANKTRANLIST><DTSTART>20090401\
    <STMTTRN><TRNTYPE>POS<DTPOSTED>20090401122017.000[-5:EST]<TRNAMT>-6.60<FITID>1<NAME>MCDONALD'S #112<MEMO>A&B < C</STMTTRN>\
    <STMTTRN><TRNTYPE>POS<DTPOSTED>20090402<TRNAMT>-1.00<FITID>2<NAME>Next\
    </BANKTRANLIST><LEDGERBAL><BALAMT>382.34<DTASOF>20090523</LEDGERBAL><AVAILBAL><BALAMT>1<DTASOF>20000101</AVAILBAL>\
    </STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>";

#[test]
fn sgml_without_end_tags_is_read() {
    let statements = read(SGML.as_bytes()).unwrap();
    let [statement] = statements.as_slice() else { panic!("{statements:?}") };
    assert_eq!(statement.currency.as_deref(), Some("CAD"));
    assert_eq!(statement.bank_account.as_deref(), Some("12 34"));
    assert_eq!(statement.balance, Some(("382.34".to_owned(), "20090523".to_owned())));
    let [first, second] = statement.rows.as_slice() else { panic!("{statement:?}") };
    assert_eq!(first.field("NAME"), Some("MCDONALD'S #112"));
    assert_eq!(first.field("MEMO"), Some("A&B < C"));
    assert_eq!(first.field("DTPOSTED"), Some("20090401122017.000[-5:EST]"));
    assert_eq!((second.field("FITID"), second.cut_off), (Some("2"), false));
}

#[test]
fn xml_is_read_with_cdata_comments_and_nested_payee() {
    let file = "<?xml version=\"1.0\"?>\r\n<?OFX OFXHEADER=\"200\"?>\r\n<OFX><CREDITCARDMSGSRSV1><CCSTMTTRNRS><CCSTMTRS>
        <CURDEF>AUD</CURDEF><CCACCTFROM><ACCTID>9</ACCTID></CCACCTFROM><BANKTRANLIST><!-- <STMTTRN> -->
        <STMTTRN><DTPOSTED>20131215</DTPOSTED><TRNAMT>-16.85</TRNAMT><FITID/><PAYEE><NAME><![CDATA[ALDI & <SONS>  ]]></NAME>
        <CITY>X</CITY></PAYEE><BANKACCTTO><ACCTID>7</ACCTID></BANKACCTTO><CURRENCY><CURRATE>1</CURRATE><CURSYM>AUD</CURSYM></CURRENCY>
        <MEMO>a &amp; b</MEMO></STMTTRN></BANKTRANLIST></CCSTMTRS></CCSTMTTRNRS></CREDITCARDMSGSRSV1></OFX>";
    let statements = read(file.as_bytes()).unwrap();
    assert_eq!(statements[0].bank_account.as_deref(), Some("9"));
    assert_eq!(statements[0].balance, None);
    let [row] = statements[0].rows.as_slice() else { panic!("{statements:?}") };
    assert_eq!(row.field("PAYEE.NAME"), Some("ALDI & <SONS>"));
    assert_eq!(row.field("MEMO"), Some("a & b"));
    assert_eq!(row.field("CURRENCY.CURSYM"), Some("AUD"));
    assert_eq!(row.field("FITID"), None);
}

#[test]
fn each_account_of_a_file_is_a_statement_of_its_own() {
    let one = "<STMTRS><CURDEF>USD<BANKACCTFROM><ACCTID>1</BANKACCTFROM><LEDGERBAL><BALAMT>111<DTASOF>20120603</LEDGERBAL></STMTRS>";
    let other = "<CCSTMTRS><CCACCTFROM><ACCTID>2</CCACCTFROM><BANKTRANLIST><STMTTRN><TRNAMT>1</STMTTRN></BANKTRANLIST></CCSTMTRS>";
    let statements = read(format!("<OFX>{one}{other}</OFX>").as_bytes()).unwrap();
    assert_eq!(statements.len(), 2);
    assert_eq!((statements[0].rows.len(), statements[1].rows.len()), (0, 1));
    assert_eq!(statements[1].bank_account.as_deref(), Some("2"));
}

#[test]
fn a_file_that_ends_too_early_keeps_its_rows_and_says_which_is_cut() {
    let cut = &SGML[..SGML.find("<NAME>Next").unwrap()];
    let rows = &read(cut.as_bytes()).unwrap()[0].rows;
    assert_eq!(rows.iter().map(|row| row.cut_off).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn what_is_no_ofx_is_refused() {
    for file in ["", "Date;Amount\n2020-01-01;5", "<html>", "OFXHEADER:100"] {
        assert_eq!(read(file.as_bytes()), Err(FileError::NotOfx), "{file}");
    }
    assert_eq!(read(b"<ofx></ofx>"), Ok(Vec::new()));
}

#[test]
fn a_file_has_a_bound_of_rows() {
    let rows = "<STMTTRN><TRNAMT>1</STMTTRN>".repeat(ROWS_MAX + 1);
    assert_eq!(read(format!("<OFX><STMTRS>{rows}</STMTRS></OFX>").as_bytes()), Err(FileError::TooMany));
}

#[test]
fn any_bytes_end_in_an_answer() {
    let mut state = 7u64;
    for _ in 0..2_000 {
        let mut bytes = SGML.as_bytes().to_vec();
        for _ in 0..8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] = b"<>/&;\0\xff\xe9A]["[(state >> 13) as usize % 11];
        }
        drop(read(&bytes));
    }
}
